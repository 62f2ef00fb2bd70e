"""What tests of several rooms share, by what it makes."""
