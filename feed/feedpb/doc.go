// Package feedpb is the wire form of the feed station: generated from
// feed.proto, committed so that a build needs no protoc.
package feedpb

// The generators are protoc-gen-go v1.36.12 and protoc-gen-go-grpc v1.5.1.
//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative feed.proto
