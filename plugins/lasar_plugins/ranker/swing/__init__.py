"""Items that pairs of users have in common who have little else in common."""
