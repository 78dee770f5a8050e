package agent

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"neutrino"
	"neutrino/host"
	"neutrino/host/iptables"
	"neutrino/plan/names"
	"neutrino/view"
)

// Metered is what a metering label counted on one router of this host, since its
// counter was made: when the label, or the router, came to the host. Packets and
// bytes are those of IP packets, both families and both directions together.
type Metered struct {
	Label   neutrino.ID `json:"metering_label_id"`
	Router  neutrino.ID `json:"router_id"`
	Packets uint64      `json:"packets"`
	Bytes   uint64      `json:"bytes"`
}

// meter is a surface that counts traffic.
type meter interface {
	Metered(ctx context.Context) ([]Metered, error)
}

// meteringTime is how long an answer may wait for counters, less than who asked
// waits for the answer. meteringParallel is how many namespaces are read at once.
const (
	meteringTime     = 4 * time.Second
	meteringParallel = 4
)

// metered is what all surfaces counted. It asks the kernel.
func (a *Agent) metered(ctx context.Context) (all []Metered, err error) {
	ctx, cancel := context.WithTimeout(ctx, meteringTime)
	defer cancel()
	for _, s := range a.deps.Surfaces {
		if m, ok := s.(meter); ok {
			list, failed := m.Metered(ctx)
			all, err = append(all, list...), errors.Join(err, failed)
		}
	}
	return all, err
}

// counterReader is what it needs of the iptables hand.
type counterReader interface {
	Counters(ctx context.Context, ns string, family int, table string) (map[string]iptables.Count, error)
}

// meters reads the counters of metering labels when somebody asks.
type meters struct {
	chains names.Meters
	tables counterReader
	view   atomic.Pointer[view.Host]
}

// View takes in which labels count on which routers.
func (m *meters) View(v *view.Host) { m.view.Store(v) }

// Metered reads the counters of the routers that have labels, sorted by label
// and router. With an error it is what could be read.
func (m *meters) Metered(ctx context.Context) ([]Metered, error) {
	v := m.view.Load()
	if v == nil {
		return nil, nil
	}
	var mu sync.Mutex
	var all []Metered
	var errs []error
	var g errgroup.Group
	g.SetLimit(meteringParallel)
	for _, r := range v.Routers {
		labels := labelsOf(v, r)
		if len(labels) == 0 {
			continue
		}
		g.Go(func() error {
			list, err := m.router(ctx, r.ID, labels)
			mu.Lock()
			defer mu.Unlock()
			all, errs = append(all, list...), append(errs, err)
			return nil
		})
	}
	_ = g.Wait() // its functions return none
	slices.SortFunc(all, func(a, b Metered) int { return cmp.Or(cmp.Compare(a.Label, b.Label), cmp.Compare(a.Router, b.Router)) })
	return all, errors.Join(errs...)
}

// labelsOf are the labels that count on a router, none where it does not run.
func labelsOf(v *view.Host, r neutrino.Router) (ids []neutrino.ID) {
	if !r.AdminStateUp {
		return nil
	}
	for id, l := range v.MeteringLabels {
		if l.Counts(r) {
			ids = append(ids, id)
		}
	}
	return ids
}

// router reads the counters of one router's namespace. One that is not made yet
// has none.
func (m *meters) router(ctx context.Context, id neutrino.ID, labels []neutrino.ID) ([]Metered, error) {
	sum := map[string]iptables.Count{}
	for _, family := range [...]int{4, 6} {
		counts, err := m.tables.Counters(ctx, names.RouterNamespace(id), family, "filter")
		var absent *host.Absent
		if errors.As(err, &absent) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		for chain, c := range counts {
			s := sum[chain]
			sum[chain] = iptables.Count{Packets: s.Packets + c.Packets, Bytes: s.Bytes + c.Bytes}
		}
	}
	var out []Metered
	for _, l := range labels {
		if c, ok := sum[m.chains.Counter(l)]; ok {
			out = append(out, Metered{Label: l, Router: id, Packets: c.Packets, Bytes: c.Bytes})
		}
	}
	return out, nil
}
