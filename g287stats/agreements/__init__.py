"""What was signed: ICE lists and historical records become agreement spells."""
