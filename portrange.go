package neutrino

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxPort is the highest port number.
const MaxPort = 65535

// PortRange is the port numbers from First to Last, both included.
type PortRange struct{ First, Last int }

// OnePort is the range of a single port.
func OnePort(n int) PortRange { return PortRange{n, n} }

// ParsePortRange reads "8000:8010", or "80" for a single port. Ports are 1 to
// [MaxPort], the lower one first. The error is for the user.
func ParsePortRange(s string) (PortRange, error) {
	first, last, two := strings.Cut(s, ":")
	if !two {
		last = first
	}
	var ends [2]int
	for i, text := range [...]string{first, last} {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > MaxPort {
			return PortRange{}, Invalidf("'%s' is not a valid port range: want two port numbers, 1 through %d, such as 8000:8010", s, MaxPort)
		}
		ends[i] = n
	}
	r := PortRange{ends[0], ends[1]}
	if r.First > r.Last {
		return PortRange{}, Invalidf("port range '%s': the first port is above the last", s)
	}
	return r, nil
}

// Size is how many ports the range has.
func (r PortRange) Size() int { return r.Last - r.First + 1 }

// Overlaps reports whether the ranges share a port.
func (r PortRange) Overlaps(o PortRange) bool { return r.First <= o.Last && o.First <= r.Last }

// String is the range as the API writes it: "8000:8010".
func (r PortRange) String() string { return fmt.Sprintf("%d:%d", r.First, r.Last) }

// ExternalPorts are the forwarded ports of the floating IP; the zero range when
// the forwarding names none.
func (p *PortForwarding) ExternalPorts() PortRange {
	return portsOf(p.ExternalPortRange, p.ExternalPort)
}

// InternalPorts are the ports that they lead to: as many, or a single one.
func (p *PortForwarding) InternalPorts() PortRange {
	return portsOf(p.InternalPortRange, p.InternalPort)
}

func portsOf(span string, port *int) PortRange {
	if r, err := ParsePortRange(span); err == nil {
		return r
	}
	if port != nil {
		return OnePort(*port)
	}
	return PortRange{}
}
