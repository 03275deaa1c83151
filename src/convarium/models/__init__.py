"""Networks: the zoo has one file an architecture; here a spec such as `resnet(depth=56)` becomes a network, and a network
its description and cost.
"""
