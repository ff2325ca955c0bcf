"""What a run leaves behind, for other steps and later runs to read: manifest, feature index, encoded and
embedded data.
"""
