"""What is compared: designs and estimators."""
