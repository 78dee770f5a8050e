package main

import (
	"context"
	_ "embed"
)

// openstackStory is what an operator does with the client; see its head.
//
//go:embed openstack.story
var openstackStory string

// openstack plays the operator's story.
func (s *stack) openstack(ctx context.Context) ([]result, error) {
	return s.play(ctx, story{partOpenstack, openstackStory, map[string]string{}})
}
