"""The programmable door: resources and webhooks."""
