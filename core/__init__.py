"""What is true whatever the transport: ids, the map, databases, sessions, regions. Never imports gateway or edge."""
