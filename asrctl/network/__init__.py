"""What all who speak to servers have in common, in whatever protocol: failures, and when to try again."""
