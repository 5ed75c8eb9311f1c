"""Crime in the United States: the FBI's published tables of sheriffs, cities, metropolitan areas and states."""
