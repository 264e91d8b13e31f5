"""From the places where items are listed to scenes; every item that is rejected has a reason."""
