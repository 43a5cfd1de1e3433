"""Local triggers: from what people do to a timely offer. Events are matched, counted, fired, and handed to the node."""
