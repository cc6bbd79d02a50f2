"""The components that come with lasar-kit, each in a folder of its own."""
