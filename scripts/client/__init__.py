"""A V2 client for people: REST and gRPC, numbers and images in, a table out."""
