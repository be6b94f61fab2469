"""What `serin channel` says.

shown   a channel in words
after   a training that ends with its version on every replica
served  the platform's status with the versions behind channels
"""
