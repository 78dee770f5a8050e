package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"time"
)

// read is one kind of request that is measured.
type read struct {
	name, target string
	limit        time.Duration
	rows         int // in each answer; -1 for an object
	paths        []string
	headers      []string
}

// pageSize is how many ports a page has.
const pageSize = 1000

// reads measures what is read from the full store.
func (p *population) reads(ctx context.Context) ([]figure, error) {
	var figures []figure
	for _, r := range p.requests() {
		f, err := p.measure(ctx, r)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", r.name, err)
		}
		figures = append(figures, f)
	}
	return figures, nil
}

func (p *population) requests() []read {
	const list = 20 * time.Millisecond
	in := fmt.Sprintf(" among %s", thousands(p.ports))
	member := []string{"X-Project-Id", projectName(fullProject), "X-Roles", "member"}
	page := fmt.Sprintf("/v2.0/ports?limit=%d", pageSize)
	var byID, byDevice, byNetwork, pages, byName []string
	for _, id := range sample(p.ids, scaleShows) {
		byID = append(byID, "/v2.0/ports/"+id)
	}
	for _, device := range sample(p.devices, scaleShows) {
		byDevice = append(byDevice, "/v2.0/ports?device_id="+device)
	}
	for _, network := range sample(p.networks[:p.made/bulkSize], scaleLists) {
		byNetwork = append(byNetwork, "/v2.0/ports?network_id="+network)
	}
	for _, id := range sample(p.ids, scaleLists) {
		pages = append(pages, page+"&marker="+id)
		byName = append(byName, page+"&sort_key=name&sort_dir=asc&marker="+id)
	}
	hundred := url.Values{"id": sample(p.ids, 100)}
	return []read{
		{"show port" + in, "p50 ≤ 0.3 ms", 300 * time.Microsecond, -1, byID, nil},
		{"list by device_id" + in, "≤ 20 ms", list, 1, byDevice, nil},
		{"list by network_id" + in + ", 1,000 found", "≤ 20 ms", list, bulkSize, byNetwork, nil},
		{"list by 100 ids" + in, "≤ 20 ms", list, 100, repeat("/v2.0/ports?"+hundred.Encode(), scaleLists), nil},
		{"page of 1,000" + in, "≤ 20 ms", list, pageSize, pages, nil},
		{"page of 1,000 by name after a marker" + in, "≤ 20 ms", list, pageSize, byName, nil},
		{"all 5,000 ports of a member's project" + in, "≤ 60 ms", 60 * time.Millisecond, fullCount, repeat("/v2.0/ports", scaleLists), member},
	}
}

func repeat(path string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = path
	}
	return out
}

// measure asks for each path once. The limit is on the median; that of a page
// or a list on the answer's last byte.
func (p *population) measure(ctx context.Context, r read) (figure, error) {
	var took []time.Duration
	most := 0 // of the rows of an answer: a last page has fewer
	for i, path := range r.paths {
		answer, d, err := p.get(ctx, path, r.headers...)
		if err != nil {
			return figure{}, err
		}
		took = append(took, d)
		if r.rows < 0 || i >= 3 {
			continue
		}
		most = max(most, bytes.Count(answer, []byte(`"mac_address":`)))
	}
	if r.rows >= 0 && most != r.rows {
		return figure{}, fmt.Errorf("%d rows, want %d", most, r.rows)
	}
	f := figure{name: r.name, target: r.target}.take(took)
	f.atMost("p50", f.p50, r.limit)
	return f, nil
}
