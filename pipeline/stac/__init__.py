"""From wherever items are listed to scenes, each rejected item with its reason."""
