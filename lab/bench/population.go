package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"neutrino"
	"neutrino/feed"
	"neutrino/lab"
)

// The shape of a big cloud: networks of a thousand ports in /21 subnets, which
// belong to a hundred projects with five groups each; one port in ten is bound,
// those of a network on ten hosts.
const (
	bulkSize      = 1000 // ports of a request, and of a network
	bulkClients   = 4
	projectCount  = 100
	projectGroups = 5
	hostCount     = 100
	hostsOfOne    = 10
	boundOfTen    = 10

	// The first networks are those of one project more, which has fullCount ports.
	fullProject = projectCount
	fullCount   = 5000
)

// owner is the project of a network.
func owner(network int) int {
	if network < fullCount/bulkSize {
		return fullProject
	}
	return network % projectCount
}

// population is a server's store with many ports.
type population struct {
	*server
	ports int // wanted
	made  int // of them

	groups      [projectCount + 1][]string
	networks    []string
	ids         []string        // of some ports
	devices     []string        // of the same ports
	bulks       []time.Duration // of each bulk request of the last call
	singles     int             // ports that createPorts made
	smallMedian time.Duration
	smallCost   time.Duration
}

// total is how many ports there are.
func (p *population) total() int { return p.made + p.singles }

// createPorts is the server's, and counts.
func (p *population) createPorts(ctx context.Context, body []byte, l load) ([]time.Duration, float64, error) {
	p.singles += l.ports
	return p.server.createPorts(ctx, body, l)
}

func projectName(n int) string { return fmt.Sprintf("%032x", 0xabcdef000000+n) }

func hostName(n int) string { return fmt.Sprintf("compute-%03d.example.org", n%hostCount) }

// hosts registers the hosts as their agents do, which then leave; with the
// part's down time they count as alive.
func (p *population) hosts(ctx context.Context) error {
	for n := range hostCount {
		c, err := feed.NewClient(feed.ClientConfig{
			Server: "unix:" + filepath.Join(p.dir, "feed.sock"), Exposure: feed.Local,
			Registration: neutrino.Registration{
				Host: hostName(n), TunnelIP: netip.AddrFrom4([4]byte{192, 0, 2, byte(n + 1)}),
				TunnelTypes: []string{string(neutrino.GRE)}, Services: []string{neutrino.AgentOVS},
				DatapathType: "system", Bridge: "br-int", HybridPlug: true, StartedAt: time.Now(), Zone: neutrino.DefaultZone,
			},
		})
		if err != nil {
			return err
		}
		if err := visit(ctx, c); err != nil {
			return fmt.Errorf("register %s: %w", hostName(n), err)
		}
	}
	return nil
}

// visit connects until the client has its view.
func visit(ctx context.Context, c *feed.Client) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	select {
	case <-c.Changed():
		cancel()
		<-ended
		return nil
	case err := <-ended:
		cancel()
		return errors.Join(err, ctx.Err())
	}
}

// project makes the groups of a project.
func (p *population) project(ctx context.Context, n int) error {
	if p.groups[n] != nil {
		return nil
	}
	c := lab.NewClient(p.url)
	if err := p.unlimited(ctx, projectName(n)); err != nil {
		return err
	}
	for g := range projectGroups {
		made, err := c.Create(ctx, "security-groups", lab.Object{"name": fmt.Sprintf("group-%d", g), "project_id": projectName(n)})
		if err != nil {
			return err
		}
		p.groups[n] = append(p.groups[n], made.ID())
	}
	return nil
}

// unlimited lifts the quotas of a project.
func (s *server) unlimited(ctx context.Context, project string) error {
	quota := map[string]int{}
	for _, resource := range []string{"network", "subnet", "port", "security_group", "security_group_rule"} {
		quota[resource] = -1
	}
	return lab.NewClient(s.url).Do(ctx, lab.Request{
		Method: http.MethodPut, Path: "/v2.0/quotas/" + project, Body: map[string]any{"quota": quota},
	}, nil)
}

// prepare makes the networks for so many more ports.
func (p *population) prepare(ctx context.Context, ports int) error {
	c := lab.NewClient(p.url)
	for len(p.networks)*bulkSize < p.made+ports {
		n := len(p.networks)
		if err := p.project(ctx, owner(n)); err != nil {
			return err
		}
		network, err := c.Create(ctx, "networks", lab.Object{"name": fmt.Sprintf("net-%d", n), "project_id": projectName(owner(n))})
		if err != nil {
			return err
		}
		_, err = c.Create(ctx, "subnets", lab.Object{
			"network_id": network.ID(), "ip_version": 4, "project_id": projectName(owner(n)),
			"cidr": netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 5), byte(n << 3), 0}), 21).String(),
		})
		if err != nil {
			return err
		}
		p.networks = append(p.networks, network.ID())
	}
	return nil
}

// bulk makes so many ports, in requests of a thousand.
func (p *population) bulk(ctx context.Context, ports int) error {
	if err := p.prepare(ctx, ports); err != nil {
		return err
	}
	first, last := p.made/bulkSize, (p.made+ports+bulkSize-1)/bulkSize
	p.bulks = make([]time.Duration, last-first)
	var next atomic.Int64
	var mu sync.Mutex
	var clients sync.WaitGroup
	errs := make([]error, bulkClients)
	for c := range bulkClients {
		clients.Go(func() {
			for errs[c] == nil {
				n := int(next.Add(1)) - 1 + first
				if n >= last {
					return
				}
				body := p.body(n)
				start := time.Now()
				answer, err := p.post(ctx, body)
				p.bulks[n-first] = time.Since(start)
				if errs[c] = err; err == nil && n%20 == 0 {
					mu.Lock()
					errs[c] = p.remember(answer)
					mu.Unlock()
				}
			}
		})
	}
	clients.Wait()
	p.made = last * bulkSize
	return errors.Join(errs...)
}

// remember keeps some of the ports that were made.
func (p *population) remember(answer []byte) error {
	const each = 20
	made := bytes.Split(answer, []byte(`{"id":"`))
	for i := 1; i < len(made); i += each {
		id, rest, _ := bytes.Cut(made[i], []byte(`"`))
		_, rest, found := bytes.Cut(rest, []byte(`"device_id":"`))
		device, _, _ := bytes.Cut(rest, []byte(`"`))
		if !found {
			return fmt.Errorf("port %s of an answer has no device_id", id)
		}
		p.ids, p.devices = append(p.ids, string(id)), append(p.devices, string(device))
	}
	return nil
}

// body asks for the ports of a network, as Nova would for instances. It is made
// while others are measured, so it is made of few parts.
func (p *population) body(network int) []byte {
	head := fmt.Sprintf(`{"network_id":%q,"project_id":%q,"device_owner":"compute:nova","name":"vm-`, p.networks[network], projectName(owner(network)))
	groups := p.groups[owner(network)]
	b := append(make([]byte, 0, bulkSize*300), `{"ports":[`...)
	for i := range bulkSize {
		if i > 0 {
			b = append(b, ',')
		}
		number := network*bulkSize + i
		spread := uint32(number) * 2654435761
		b = appendNumber(append(b, head...), uint64(spread%10_000_000), 10, 7)
		b = appendNumber(append(b, `","device_id":"`...), uint64(spread), 16, 8)
		b = appendNumber(append(b, `-0000-4000-8000-`...), uint64(number), 16, 12)
		b = append(append(append(b, `","security_groups":["`...), groups[i%len(groups)]...), `"]`...)
		if i%boundOfTen == 0 {
			b = append(append(append(b, `,"binding:host_id":"`...), hostName(network*7+i/boundOfTen%hostsOfOne)...), '"')
		}
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

// appendNumber writes a number with so many digits at least.
func appendNumber(b []byte, n uint64, base, digits int) []byte {
	start := len(b)
	b = strconv.AppendUint(b, n, base)
	for more := digits - (len(b) - start); more > 0; more-- {
		b = slices.Insert(b, start, '0')
	}
	return b
}

// network makes a network of the first project for single ports, and returns
// the body of a port's creation.
func (p *population) network(ctx context.Context) ([]byte, error) { return p.server.network(ctx) }

// sample is some of a list, spread over it.
func sample(list []string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, list[i*7919%len(list)])
	}
	return slices.Clip(out)
}
