package intent

import "neutrino"

// side is one end of a forwarding, as a request names it: by a port or by a
// range (api.md section 2.8).
type side struct {
	name  string // external or internal
	port  **int
	ports *string
}

func sides(p *neutrino.PortForwarding) [2]side {
	return [...]side{{"external", &p.ExternalPort, &p.ExternalPortRange}, {"internal", &p.InternalPort, &p.InternalPortRange}}
}

// unsaidRange is no range: it stands where a request says nothing.
const unsaidRange = "-"

// changePorts applies a change to a copy of a forwarding. A port that is named
// takes the place of the range that was there, and a range that of the port.
func changePorts(old *neutrino.PortForwarding, change func(*neutrino.PortForwarding) error) (*neutrino.PortForwarding, error) {
	p, before, unsaid := *old, *old, new(int)
	for _, s := range sides(&p) {
		*s.port, *s.ports = unsaid, unsaidRange
	}
	if err := change(&p); err != nil {
		return nil, err
	}
	was := sides(&before)
	for i, s := range sides(&p) {
		noPort, noRange := *s.port == unsaid, *s.ports == unsaidRange
		switch {
		case noPort && noRange:
			*s.port, *s.ports = *was[i].port, *was[i].ports
		case noPort:
			*s.port = nil
		case noRange:
			*s.ports = ""
		}
	}
	return &p, nil
}

// settlePorts checks the ports of a forwarding and completes each side: its
// range, and its port when it is a single one.
func settlePorts(p *neutrino.PortForwarding) error {
	for _, s := range sides(p) {
		if err := s.settle(); err != nil {
			return err
		}
	}
	from, to := p.ExternalPorts(), p.InternalPorts()
	if to.Size() != 1 && to.Size() != from.Size() {
		return badRequest("port_forwarding",
			"external_port_range %s has %d ports and internal_port_range %s has %d: give internal_port_range as many ports, or one",
			from, from.Size(), to, to.Size())
	}
	return nil
}

func (s side) settle() error {
	var r neutrino.PortRange
	switch port := *s.port; {
	case port == nil && *s.ports == "":
		return badRequest("port_forwarding", "%[1]s_port or %[1]s_port_range is required", s.name)
	case port != nil && (*port < 1 || *port > neutrino.MaxPort):
		return neutrino.Invalidf("'%d' is not a valid port number, 1 through %d", *port, neutrino.MaxPort)
	case port != nil:
		r = neutrino.OnePort(*port)
	}
	if *s.ports != "" {
		named, err := neutrino.ParsePortRange(*s.ports)
		if err != nil {
			return err
		}
		if *s.port != nil && named != r {
			return badRequest("port_forwarding", "%[1]s_port %[2]d and %[1]s_port_range %[3]s exclude each other: give one of them",
				s.name, r.First, named)
		}
		r = named
	}
	*s.port, *s.ports = nil, r.String()
	if r.Size() == 1 {
		*s.port = &r.First
	}
	return nil
}
