"""The National Crime Victimization Survey's files."""
