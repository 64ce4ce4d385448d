"""The messages and methods that both sides speak: definitions, generated classes, tables of methods.

Import what you need: `goplugin.proto.plugin` (go-plugin's own services), `goplugin.proto.redpanda` (batch services),
`goplugin.proto.health` and `goplugin.proto.reflection` (gRPC's own), `goplugin.proto.rpc` (the types of the tables).
Importing this package itself loads nothing, and nothing here imports grpc or touches protobuf's default descriptor
pool.
"""
