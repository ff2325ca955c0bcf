"""What lets a deployment run by itself: what starts runs, what watches them, what they may cost."""
