"""What several targets for other servers share."""
