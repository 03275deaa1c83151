"""Networks: the zoo has one file an architecture.

Here a spec such as `resnet(depth=56)` becomes a network, and a network its description and its cost.
"""
