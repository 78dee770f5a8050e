package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"neutrino"
)

// Status is a lab as it is now.
type Status struct {
	Name      string           `json:"name"`
	Dir       string           `json:"dir"`
	Up        bool             `json:"up"` // complete, and all processes alive
	Made      time.Time        `json:"made"`
	Endpoint  string           `json:"endpoint"`
	API       string           `json:"api"` // "ok", or why it does not answer
	Hosts     []HostStatus     `json:"hosts"`
	Agents    []AgentStatus    `json:"agents"`
	Instances []InstanceStatus `json:"instances"`
}

// HostStatus is one host and what runs on it.
type HostStatus struct {
	Name      string          `json:"name"`
	Role      string          `json:"role"`
	Address   string          `json:"address"`
	Processes []ProcessStatus `json:"processes"`
}

// ProcessStatus is one process that the lab started.
type ProcessStatus struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Alive bool   `json:"alive"`
	Log   string `json:"log"`
}

// AgentStatus is a row of the API's agent list.
type AgentStatus struct {
	Host   string `json:"host"`
	Type   string `json:"type"`
	Binary string `json:"binary"`
	Alive  bool   `json:"alive"`
	// Conditions is what is wrong on the agent's host; the same for all its agents.
	Conditions []neutrino.Pending `json:"conditions,omitempty"`
}

// InstanceStatus is an instance with what the API says of its port.
type InstanceStatus struct {
	Instance
	Running bool   `json:"running"`
	Port    string `json:"port_status"`
}

// Status looks at everything that was recorded and asks the API.
func (l *Lab) Status(ctx context.Context) Status {
	st := l.snapshot()
	s := Status{Name: l.Name, Dir: l.Dir, Up: l.Running(ctx), Made: st.Made}
	if st.ID == "" {
		s.API = "not up"
		return s
	}
	s.Endpoint = l.Endpoint()
	for _, h := range l.Hosts() {
		hs := HostStatus{Name: h.Name, Role: h.Role, Address: h.Address.String()}
		for _, p := range h.Processes() {
			hs.Processes = append(hs.Processes, ProcessStatus{Name: p.Name, PID: p.PID, Alive: p.Alive(ctx), Log: p.Log})
		}
		s.Hosts = append(s.Hosts, hs)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s.API = l.askAPI(ctx, &s)
	return s
}

// askAPI fills in what the API knows.
func (l *Lab) askAPI(ctx context.Context, s *Status) string {
	for _, g := range l.Guests() {
		s.Instances = append(s.Instances, InstanceStatus{Instance: g.Instance, Running: g.Running(ctx), Port: "unknown"})
	}
	agents, err := l.Client().List(ctx, "agents", nil)
	if err != nil {
		return err.Error()
	}
	for _, a := range agents {
		s.Agents = append(s.Agents, AgentStatus{
			Host: a.Text("host"), Type: a.Text("agent_type"), Binary: a.Text("binary"), Alive: a.Bool("alive"), Conditions: Conditions(a),
		})
	}
	for i := range s.Instances {
		port, err := l.Client().Get(ctx, "ports", s.Instances[i].PortID)
		if err != nil {
			s.Instances[i].Port = err.Error()
			continue
		}
		s.Instances[i].Port = port.Text("status")
	}
	return "ok"
}

// WriteTo writes the status as tables for people.
func (s Status) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	state := "not running"
	if s.Up {
		state = "running since " + s.Made.Local().Format(time.DateTime)
	} else if len(s.Hosts) > 0 {
		state = "half up: neutrino lab up or down mends it"
	}
	fmt.Fprintf(&b, "lab %s in %s: %s\n", s.Name, s.Dir, state)
	if len(s.Hosts) > 0 {
		fmt.Fprintf(&b, "API %s: %s\n", s.Endpoint, s.API)
		b.WriteString(s.hostTable() + "\n" + s.agentTable() + "\n" + instanceTable(s.Instances) + "\n" + s.conditions())
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

// Conditions is what an agent of the API says to be wrong on its host.
func Conditions(agent Object) []neutrino.Pending {
	var config struct {
		Conditions []neutrino.Pending `json:"conditions"`
	}
	b, err := json.Marshal(agent["configurations"])
	if err == nil {
		err = json.Unmarshal(b, &config)
	}
	if err != nil {
		return []neutrino.Pending{{Object: neutrino.HostObject, Reason: "configurations: " + err.Error()}}
	}
	return config.Conditions
}

// conditions are what is wrong on each host, a line each.
func (s Status) conditions() string {
	var b strings.Builder
	said := map[string]bool{}
	for _, a := range s.Agents {
		if said[a.Host] {
			continue
		}
		said[a.Host] = true
		for _, c := range a.Conditions {
			fmt.Fprintf(&b, "condition on %s, %s: %s\n", a.Host, c.Object, c.Reason)
		}
	}
	return b.String()
}

func newTable(columns ...any) table.Writer {
	t := table.NewWriter()
	t.AppendHeader(table.Row(columns))
	return t
}

func (s Status) hostTable() string {
	t := newTable("Host", "Underlay", "Process", "PID", "Alive")
	for _, h := range s.Hosts {
		for i, p := range h.Processes {
			name, address := h.Name, h.Address
			if i > 0 {
				name, address = "", ""
			}
			t.AppendRow(table.Row{name, address, p.Name, p.PID, p.Alive})
		}
	}
	return t.Render()
}

func (s Status) agentTable() string {
	t := newTable("Agent", "Host", "Binary", "Alive")
	for _, a := range s.Agents {
		t.AppendRow(table.Row{a.Type, a.Host, a.Binary, a.Alive})
	}
	return t.Render()
}

func instanceTable(instances []InstanceStatus) string {
	t := newTable("Instance", "Kind", "Host", "Address", "MAC", "Port", "Port status", "Running")
	for _, i := range instances {
		t.AppendRow(table.Row{i.Name, i.Kind, i.Host, i.Address, i.MAC, i.PortID, i.Port, i.Running})
	}
	return t.Render()
}
