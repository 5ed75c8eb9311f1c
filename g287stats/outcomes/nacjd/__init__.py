"""County crime and arrest files of the National Archive of Criminal Justice Data, supplied by the user."""
