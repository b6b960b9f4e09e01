"""What is known of people, in Datastore."""
