package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// What the part scale measures, and how often.
const (
	scaleClients  = 64
	scaleSerial   = 1500
	scaleParallel = 12_000
	scaleShows    = 3000
	scaleLists    = 60
	smallStore    = 1000 // ports in store for the cost of one creation

	// bytesPerPort is the limit of the server's memory for each port.
	bytesPerPort = 2500
)

// scaleConfig has room for the hosts, networks and ports of the part.
const scaleConfig = `[DEFAULT]
agent_down_time = 86400
[ml2_type_gre]
tunnel_id_ranges = 1:100000
`

// scale fills a server's store and measures what each thing costs then: first
// with a thousand ports, then with all of them, then after a restart.
func (b *bench) scale(ctx context.Context) (figures []figure, err error) {
	dir, err := os.MkdirTemp("", "neutrino-bench-config-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "neutron.conf")
	if err := os.WriteFile(file, []byte(scaleConfig), 0o600); err != nil {
		return nil, err
	}
	s, err := startServer(ctx, b.binary, "--config-file", file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	p := &population{server: s, ports: b.ports}
	for _, step := range []func(context.Context) ([]figure, error){
		p.small, p.fill, p.creations, p.reads, p.memory, p.restart,
	} {
		got, err := step(ctx)
		figures = append(figures, got...)
		if err != nil {
			return figures, inPlace(s.log, err)
		}
	}
	return figures, nil
}

// small measures creation in a store with a thousand ports.
func (p *population) small(ctx context.Context) ([]figure, error) {
	if err := p.hosts(ctx); err != nil {
		return nil, err
	}
	if err := p.bulk(ctx, smallStore); err != nil {
		return nil, err
	}
	body, err := p.network(ctx)
	if err != nil {
		return nil, err
	}
	if _, _, err := p.createPorts(ctx, body, load{warmPorts, 1}); err != nil {
		return nil, err
	}
	one, cost, err := p.costOf(ctx, body)
	if err != nil {
		return nil, err
	}
	p.smallCost, p.smallMedian = cost, quantile(one, 0.5)
	f := figure{name: "create port, one client", target: "p50 ≤ 1.5 ms, p99 ≤ 10 ms"}.take(one)
	f.atMost("p50", f.p50, 1500*time.Microsecond)
	f.atMost("p99", f.p99, 10*time.Millisecond)
	many, rate, err := p.createPorts(ctx, body, load{scaleParallel, scaleClients})
	if err != nil {
		return []figure{f}, err
	}
	g := figure{name: fmt.Sprintf("create port, %d clients", scaleClients), target: "≥ 3,000/s"}.take(many)
	g.atLeast(rate, 3000)
	return []figure{f, g}, nil
}

// costOf creates ports one after the other and says how long each took, and
// how much processor time the server spent on each.
func (p *population) costOf(ctx context.Context, body []byte) ([]time.Duration, time.Duration, error) {
	before, err := p.processorTime()
	if err != nil {
		return nil, 0, err
	}
	took, _, err := p.createPorts(ctx, body, load{scaleSerial, 1})
	if err != nil {
		return nil, 0, err
	}
	after, err := p.processorTime()
	return took, (after - before) / scaleSerial, err
}

// fill creates the rest of the ports in bulk.
func (p *population) fill(ctx context.Context) ([]figure, error) {
	want := p.ports - p.made
	began := time.Now()
	if err := p.bulk(ctx, want); err != nil {
		return nil, err
	}
	f := figure{name: fmt.Sprintf("ports created in requests of %d, %d clients", bulkSize, bulkClients), target: "≥ 20,000/s"}.take(p.bulks)
	f.atLeast(float64(want)/time.Since(began).Seconds(), 20_000)
	return []figure{f}, nil
}

// creations measures creation in the full store.
func (p *population) creations(ctx context.Context) ([]figure, error) {
	body, err := p.network(ctx)
	if err != nil {
		return nil, err
	}
	if _, _, err := p.createPorts(ctx, body, load{warmPorts, 1}); err != nil {
		return nil, err
	}
	one, cost, err := p.costOf(ctx, body)
	if err != nil {
		return nil, err
	}
	f := figure{
		name:   fmt.Sprintf("create port, one client, %s ports in store", thousands(p.ports)),
		target: fmt.Sprintf("p50 ≤ 1.5 × that with %s", thousands(smallStore)),
	}.take(one)
	ratio := float64(f.p50) / float64(p.smallMedian)
	f.also = fmt.Sprintf("%.2f ×; processor time %s for each, %.2f ×", ratio, millis(cost), float64(cost)/float64(p.smallCost))
	if ratio > 1.5 {
		f.missed = append(f.missed, fmt.Sprintf("p50 is %.2f ×", ratio))
	}
	many, rate, err := p.createPorts(ctx, body, load{scaleParallel, scaleClients})
	if err != nil {
		return []figure{f}, err
	}
	g := figure{
		name: fmt.Sprintf("create port, %d clients, %s ports in store", scaleClients, thousands(p.ports)),
		also: fmt.Sprintf("%.0f/s", rate),
	}.take(many)
	return []figure{f, g}, nil
}

// memory is what the server holds now.
func (p *population) memory(ctx context.Context) ([]figure, error) {
	f, err := p.memoryFigure(ctx, "memory of the server, for each port")
	return []figure{f}, err
}

func (p *population) memoryFigure(ctx context.Context, name string) (figure, error) {
	f := figure{name: name, target: "≤ 2.5 KB"}
	rss, err := p.settled(ctx)
	if err != nil {
		return f, err
	}
	each := rss / p.total()
	f.also = fmt.Sprintf("%d bytes; %d MB in all", each, rss>>20)
	if each > bytesPerPort {
		f.missed = append(f.missed, fmt.Sprintf("%d bytes over", each-bytesPerPort))
	}
	return f, nil
}

// restart kills the server and starts it again on what it wrote.
func (p *population) restart(ctx context.Context) ([]figure, error) {
	p.kill()
	began := time.Now()
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	took := time.Since(began)
	f := figure{name: fmt.Sprintf("server killed and started, %s ports in store → first answer", thousands(p.ports)), target: "≤ 10 s"}.take([]time.Duration{took})
	f.atMost("it", took, 10*time.Second)
	size, err := p.diskSize()
	if err != nil {
		return []figure{f}, err
	}
	f.also = fmt.Sprintf("%d MB on disk", size>>20)
	// What was there before is there now.
	if _, _, err := p.get(ctx, "/v2.0/ports/"+p.ids[0]); err != nil {
		return []figure{f}, err
	}
	m, err := p.memoryFigure(ctx, "memory of the server after that, for each port")
	return []figure{f, m}, err
}

// processorTime is what the server's process has used so far (proc(5), stat).
func (s *server) processorTime() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", s.cmd.Process.Pid, len(fields))
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go knows
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// resident is the server's memory, bytes (proc(5), VmRSS).
func (s *server) resident() (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmRSS", s.cmd.Process.Pid)
}

// How long the server's memory has to stay before it counts, and how long that
// is waited for: what a burst of work needed goes back to the system after it.
const (
	settleTime  = 12 * time.Second
	settleLimit = time.Minute
)

// settled is the server's memory when it has stopped shrinking, bytes.
func (s *server) settled(ctx context.Context) (int, error) {
	least, since := 0, time.Now()
	err := until(ctx, settleLimit, settleTime/10, func() error {
		rss, err := s.resident()
		if err != nil {
			return err
		}
		if least == 0 || rss < least-least/100 {
			least, since = rss, time.Now()
		}
		if time.Since(since) < settleTime {
			return fmt.Errorf("it still gives memory back, %d MB now", rss>>20)
		}
		return nil
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = nil // it shrinks slowly: what there is now counts
	}
	if err != nil {
		return 0, err
	}
	return s.resident()
}

// diskSize is the size of the server's store, bytes.
func (s *server) diskSize() (int64, error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "*.sqlite*"))
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return 0, err
		}
		sum += info.Size()
	}
	return sum, nil
}

// thousands writes a number with commas.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
