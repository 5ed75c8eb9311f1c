"""Tables that states publish themselves."""
