"""Running by itself: is the data still the data, when does a run start, what runs and what does it cost."""
