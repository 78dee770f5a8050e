package check

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"neutrino"
	"neutrino/lab"
)

// patience is how long a row waits for what should happen in a second or so:
// the machine may be busy.
const patience = 15 * time.Second

// until tries again until the function is content or the time is up, and
// returns its last word.
func until(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var reason error // of the last failure that was not the end of the time
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if reason == nil || ctx.Err() == nil {
			reason = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %v: %w", limit, reason)
		case <-tick.C:
		}
	}
}

// expect runs a row's kind of command until it prints what is wanted.
func (c *Cloud) expect(ctx context.Context, on, command string, want func(*Cloud, string) error) (string, error) {
	var out string
	err := until(ctx, patience, func(ctx context.Context) error {
		var err error
		if out, err = c.sh(ctx, on, command); err != nil {
			return err
		}
		return want(c, out)
	})
	return brief(out), err
}

// capture is a tcpdump that runs beside a row.
type capture struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

// capture starts tcpdump at a point and returns when it listens.
func (c *Cloud) capture(ctx context.Context, at point) (*capture, error) {
	on, namespace, _ := strings.Cut(at.on, "/")
	argv := []string{"tcpdump", "-i", c.expand(at.device), "-nn", "-e", "-l", "--immediate-mode", c.expand(at.filter)}
	if namespace != "" {
		argv = append([]string{"ip", "netns", "exec", c.expand(namespace)}, argv...)
	}
	p := &capture{cmd: c.host(on).Command(ctx, argv...)}
	p.cmd.Stdout = &p.out
	errs, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("tcpdump: %w", err)
	}
	scan := bufio.NewScanner(errs)
	for scan.Scan() {
		if strings.Contains(scan.Text(), "listening on") {
			go func() {
				for scan.Scan() { // what it says at its end
				}
			}()
			return p, nil
		}
	}
	return nil, errors.Join(errors.New("tcpdump did not start on "+c.expand(at.device)), p.cmd.Wait())
}

// stop ends the capture and returns the packets it saw, a line each.
func (p *capture) stop() []string {
	_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended
	_ = p.cmd.Wait()
	var packets []string
	for line := range strings.Lines(p.out.String()) {
		line = strings.TrimSpace(line)
		if n := len(packets); n > 0 && !stamp.MatchString(line) { // the frame inside a VXLAN or Geneve packet
			packets[n-1] += " " + line
		} else if line != "" {
			packets = append(packets, line)
		}
	}
	return packets
}

// stamp is the time that begins a packet's line.
var stamp = regexp.MustCompile(`^\d\d:\d\d:\d\d\.`)

// seenOn runs an action and returns what a capture saw meanwhile. It waits
// until there is something to see, or, for what must not be seen, until the
// action is over.
func (c *Cloud) seenOn(ctx context.Context, p point, action func(context.Context) error) ([]string, error) {
	capture, err := c.capture(ctx, p)
	if err != nil {
		return nil, err
	}
	err = action(ctx)
	return capture.stop(), err
}

// point is where a capture listens: on a host, "router", or in a namespace of
// it, "router/$rns".
type point struct{ on, device, filter string }

// counter is the packet counter of the first rule of a chain that holds the text.
func (c *Cloud) counter(ctx context.Context, chain, rule string) (int, error) {
	out, err := c.sh(ctx, "compute", "iptables -nvxL "+chain)
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(out, "\n") {
		if f := strings.Fields(line); len(f) > 3 && strings.Contains(line, c.expand(rule)) {
			if n, err := strconv.Atoi(f[0]); err == nil {
				return n, nil
			}
		}
	}
	return 0, fmt.Errorf("chain %s has no rule with %q", c.expand(chain), rule)
}

// pingFrom sends echo requests from the network's DHCP namespace, the lab's
// other end of the network.
func (c *Cloud) pingFrom(ctx context.Context, address string) error {
	_, err := c.sh(ctx, "network", "ip netns exec $ns ping -c 1 -W 1 "+address)
	return err
}

// connectFrom opens a TCP connection from there.
func (c *Cloud) connectFrom(ctx context.Context, address string, port int) error {
	_, err := c.sh(ctx, "network", fmt.Sprintf("ip netns exec $ns busybox nc -w 1 %s %d </dev/null", address, port))
	return err
}

// inGuest runs a shell text in the VM; a code other than 0 is an error.
func (c *Cloud) inGuest(ctx context.Context, script string) error {
	_, err := c.sh(ctx, "guest", script)
	return err
}

// instance starts a light instance and returns it with its lease.
func (c *Cloud) instance(ctx context.Context, s lab.InstanceSpec) (*lab.Guest, lab.Lease, error) {
	s.Kind = lab.KindNamespace
	c.made = append(c.made, s.Name)
	g, err := c.lab.AddInstance(ctx, s)
	if err != nil {
		return nil, lab.Lease{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	if err := g.AwaitActive(ctx); err != nil {
		return nil, lab.Lease{}, err
	}
	lease, err := g.AwaitLease(ctx)
	return g, lease, err
}

// remove takes an instance of the row's away before the end, and waits until
// its host has no rule of it.
func (c *Cloud) remove(ctx context.Context, name string) error {
	g, err := c.lab.Guest(name)
	if err != nil {
		return err
	}
	h, err := c.lab.Host(g.Host)
	if err != nil {
		return err
	}
	for i, n := range c.made {
		if n == name {
			c.made = append(c.made[:i], c.made[i+1:]...)
			break
		}
	}
	if err := c.lab.RemoveInstance(ctx, name); err != nil {
		return err
	}
	return until(ctx, patience, func(ctx context.Context) error {
		left, err := h.Run(ctx, "sh", "-c", "iptables -S | grep -c -e "+g.PortID[:10]+"; true")
		return errors.Join(err, same("the number of rules that "+name+" left", left, "0"))
	})
}

// group is the VM's security group.
func (c *Cloud) group(ctx context.Context) (string, error) {
	port, err := c.lab.Client().Get(ctx, "ports", c.guest.PortID)
	if err != nil {
		return "", err
	}
	groups, _ := port["security_groups"].([]any)
	if len(groups) != 1 {
		return "", fmt.Errorf("the VM's port has %d security groups, want 1", len(groups))
	}
	id, _ := groups[0].(string)
	return id, nil
}

// rules are the rules of the VM's group that match the query.
func (c *Cloud) rules(ctx context.Context, q lab.Query) ([]lab.Object, error) {
	group, err := c.group(ctx)
	if err != nil {
		return nil, err
	}
	q["security_group_id"] = group
	return c.lab.Client().List(ctx, "security-group-rules", q)
}

// filtered are the rules of the VM's port, in the order of the alphabet: rules
// of a group that are made again may come in another order.
func (c *Cloud) filtered(ctx context.Context) (string, error) {
	return c.sh(ctx, "compute", "{ iptables -S $X-i$p10; iptables -S $X-o$p10; } | sort")
}

// withoutRules deletes the matching rules, runs the action, makes them again
// and waits until they are in force.
func (c *Cloud) withoutRules(ctx context.Context, q lab.Query, action func(context.Context) error) (err error) {
	rules, err := c.rules(ctx, q)
	if err != nil {
		return err
	}
	if len(rules) == 0 {
		return fmt.Errorf("the VM's group has no rule like %v", q)
	}
	before, err := c.filtered(ctx)
	if err != nil {
		return err
	}
	defer func() {
		ctx := context.WithoutCancel(ctx)
		for _, r := range rules {
			body := lab.Object{}
			for _, key := range []string{"security_group_id", "direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix", "remote_group_id"} {
				if r[key] != nil {
					body[key] = r[key]
				}
			}
			if _, e := c.lab.Client().Create(ctx, "security-group-rules", body); e != nil && !lab.IsStatus(e, 409) {
				err = errors.Join(err, e)
			}
		}
		err = errors.Join(err, until(ctx, patience, func(ctx context.Context) error {
			now, err := c.filtered(ctx)
			return errors.Join(err, same("the filter", now, before))
		}))
	}()
	for _, r := range rules {
		if err := c.lab.Client().Delete(ctx, "security-group-rules", r.ID()); err != nil {
			return err
		}
	}
	return action(ctx)
}

// stream is a TCP connection to an echo service that sends a line each 100 ms.
type stream struct {
	cmd   *exec.Cmd
	mu    sync.Mutex
	last  time.Time
	gap   time.Duration
	lines int
}

// stream opens a connection from the DHCP namespace to the VM.
func (c *Cloud) stream(ctx context.Context, port int) (*stream, error) {
	return c.streamFrom(ctx, "network", fmt.Sprintf("ip netns exec $ns busybox nc $ip %d", port))
}

// streamFrom opens a connection with a command and waits for the first echoes.
func (c *Cloud) streamFrom(ctx context.Context, on, connect string) (*stream, error) {
	text := c.expand("i=0; while [ $i -lt 600 ]; do echo $i; i=$((i+1)); busybox usleep 100000; done | " + connect)
	s := &stream{cmd: c.host(on).Command(ctx, "sh", "-c", text)}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	go func() {
		for scan := bufio.NewScanner(out); scan.Scan(); {
			s.mu.Lock()
			now := time.Now()
			if s.lines > 0 {
				s.gap = max(s.gap, now.Sub(s.last))
			}
			s.last, s.lines = now, s.lines+1
			s.mu.Unlock()
		}
	}()
	err = until(ctx, patience, func(context.Context) error {
		if n, _ := s.seen(); n < 2 {
			return fmt.Errorf("%d lines came back", n)
		}
		return nil
	})
	return s, err
}

func (s *stream) seen() (int, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines, s.last
}

// longest is the longest time without a line between two of them, and since
// the last.
func (s *stream) longest() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.gap, time.Since(s.last))
}

func (s *stream) stop() {
	_ = s.cmd.Process.Kill() // it may have ended
	_ = s.cmd.Wait()
}

// quiet waits until nothing came back for the given time.
func (s *stream) quiet(ctx context.Context, span time.Duration) error {
	return until(ctx, patience, func(context.Context) error {
		if _, last := s.seen(); time.Since(last) < span {
			return errors.New("lines still come back")
		}
		return nil
	})
}

var number = regexp.MustCompile(`n_packets=(\d+)`)

// packets sums the packet counters of flows.
func packets(flows string) int {
	sum := 0
	for _, m := range number.FindAllStringSubmatch(flows, -1) {
		n, _ := strconv.Atoi(m[1]) // digits only
		sum += n
	}
	return sum
}

func linkLocalOf(mac string) (string, error) {
	m, err := neutrino.ParseMAC(mac)
	if err != nil {
		return "", err
	}
	return m.LinkLocal().String(), nil
}
