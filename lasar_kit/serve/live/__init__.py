"""The catalogue of a served run as it changes: items come and go, and nothing is trained."""
