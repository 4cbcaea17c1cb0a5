"""A comparison that stops early: the cheapest run that will do, by asking no more than that takes.

`decision` is the rule, which knows scores only; `order` says which run is cheaper; `trials` asks
questions through the spine; `live` puts them together.
"""
