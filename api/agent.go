package api

import (
	"time"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/intent"
	"neutrino/intent/liveness"
	"neutrino/intent/work"
	"neutrino/store"
)

func agents() *kind[neutrino.Agent] {
	return kind[neutrino.Agent]{
		names:   names{"agent", "agents", "agents", "AgentNotFound", "Agent %s could not be found"},
		table:   store.Agents,
		indexes: []filterIndex[neutrino.Agent]{{"host", store.AgentsByHost}},
		visible: work.VisibleAgent,
		update:  intent.UpdateAgent, remove: intent.DeleteAgent,
		present: func(v view, a *neutrino.Agent) *neutrino.Agent {
			now := *a
			now.Alive = v.life(a.Host) != liveness.Dead
			return &now
		},
		computed: []column[neutrino.Agent]{
			agentTime("created_at", func(a *neutrino.Agent) time.Time { return a.CreatedAt }),
			agentTime("started_at", func(a *neutrino.Agent) time.Time { return a.StartedAt }),
			agentTime("heartbeat_timestamp", func(a *neutrino.Agent) time.Time { return a.HeartbeatAt }),
		},
	}.ready()
}

// agentTime writes a time in the agents' own form.
func agentTime(name string, of func(*neutrino.Agent) time.Time) column[neutrino.Agent] {
	return column[neutrino.Agent]{name: name, write: func(b []byte, _ view, a *neutrino.Agent) []byte {
		return wire.AppendTime(b, of(a), wire.AgentTimeForm)
	}}
}
