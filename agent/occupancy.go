package agent

import (
	"context"

	"neutrino/host/conntrack"
)

// tableReader is a surface that knows how full the connection tables are.
type tableReader interface {
	Tables(ctx context.Context) ([]conntrack.Table, error)
}

// occupancy asks the kernel how full the connection tables are.
func (a *Agent) occupancy(ctx context.Context) (all []conntrack.Table, err error) {
	ctx, cancel := context.WithTimeout(ctx, meteringTime)
	defer cancel()
	for _, s := range a.deps.Surfaces {
		if r, ok := s.(tableReader); ok {
			return r.Tables(ctx)
		}
	}
	return nil, nil
}
