"""What the services share of HTTP, gRPC and their life as processes. It knows no domain rule."""
