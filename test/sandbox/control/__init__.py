"""The control service, by which tests steer the others."""
