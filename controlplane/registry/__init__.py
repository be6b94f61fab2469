"""What is published in the S3 store: read, compared, checked and thinned out; never written."""
