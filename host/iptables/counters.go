package iptables

import (
	"context"
	"fmt"
	"strings"

	"neutrino/host"
)

// Count is what went through rules since they were written.
type Count struct{ Packets, Bytes uint64 }

// Counters are what our chains of a table counted, by the chain's name: each the
// sum of its rules. The kernel is asked, once; nothing that is kept of it is
// used or changed, so that a reader does not hold the agent up. The error is
// a [host.Absent] where the namespace does not exist.
func (e *Engine) Counters(ctx context.Context, ns string, family int, table string) (map[string]Count, error) {
	if !e.exists(ns) {
		return nil, &host.Absent{What: "namespace " + ns}
	}
	out, err := e.run(ctx, ns, "", tool(family, "save"), "-c", "-t", table)
	if err != nil {
		return nil, fmt.Errorf("iptables: counters of %v: %w", place{ns, family}, err)
	}
	counts := map[string]Count{}
	for line := range strings.Lines(out) {
		var c Count
		var chain string
		if n, _ := fmt.Sscanf(line, "[%d:%d] -A %s", &c.Packets, &c.Bytes, &chain); n == 3 && e.ours(chain) {
			sum := counts[chain]
			counts[chain] = Count{sum.Packets + c.Packets, sum.Bytes + c.Bytes}
		}
	}
	return counts, nil
}
