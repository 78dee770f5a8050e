package main

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"neutrino"
	"neutrino/config"
	"neutrino/intent"
	"neutrino/intent/serverevent"
	"neutrino/intent/work"
	"neutrino/nova"
	"neutrino/store"
)

// novaOptions are what the server understands of Nova, with Neutron's names.
func novaOptions() []config.Option {
	const section = "nova"
	return []config.Option{
		{Section: "DEFAULT", Name: "notify_nova_on_port_status_changes", Default: "true", Help: "tell Nova when an instance's port is wired, and when no longer", Check: config.Boolean},
		{Section: "DEFAULT", Name: "notify_nova_on_port_data_changes", Default: "true", Help: "tell Nova when an instance's port changes, gets a floating IP, or is deleted", Check: config.Boolean},
		{Section: "DEFAULT", Name: "send_events_interval", Default: "0", Help: "seconds between two messages to Nova; 0 for none but the time of its answer", Check: config.Number},
		{Section: section, Name: "auth_url", Help: "the identity service, for the account that tells Nova; without it Nova is not told"},
		{Section: section, Name: "auth_type", Default: "password", Help: "how the account proves who it is", Check: config.OneOf("password", "v3password")},
		{Section: section, Name: "username", Help: "service account that tells Nova"},
		{Section: section, Name: "password", Help: "password of the service account"},
		{Section: section, Name: "project_name", Help: "project of the service account"},
		{Section: section, Name: "user_domain_name", Default: "Default", Help: "domain of the service account"},
		{Section: section, Name: "project_domain_name", Default: "Default", Help: "domain of the service account's project"},
		{Section: section, Name: "region_name", Help: "region of Nova's endpoint"},
		{Section: section, Name: "endpoint_type", Default: "public", Help: "which of Nova's endpoints: public, internal or admin"},
		{Section: section, Name: "cafile", Help: "certificates to trust instead of the system's"},
		{Section: section, Name: "insecure", Default: "false", Help: "trust any certificate of Nova and the identity service", Check: config.Boolean},
		{Section: section, Name: "timeout", Default: "30", Help: "seconds that Nova may take to answer", Check: config.Number},
	}
}

// toldOf is what Nova is told: nothing where no [nova] says how.
func toldOf(v *config.Values) work.TellNova {
	if v.String("nova", "auth_url") == "" {
		return work.TellNova{}
	}
	return work.TellNova{
		StatusChanges: v.Bool("DEFAULT", "notify_nova_on_port_status_changes"),
		DataChanges:   v.Bool("DEFAULT", "notify_nova_on_port_data_changes"),
	}
}

// notifying is what telling Nova needs.
type notifying struct {
	v       *config.Values
	svc     *intent.Service
	figures *measures
}

// tellNova starts to tell Nova, where [nova] says how.
func tellNova(ctx context.Context, group *errgroup.Group, with notifying) error {
	v := with.v
	if toldOf(v) == (work.TellNova{}) {
		return nil
	}
	const section = "nova"
	n, err := nova.New(with.svc.DB(), nova.Options{
		AuthURL: v.String(section, "auth_url"), Username: v.String(section, "username"), Password: v.String(section, "password"),
		ProjectName:    v.String(section, "project_name"),
		UserDomainName: v.String(section, "user_domain_name"), ProjectDomainName: v.String(section, "project_domain_name"),
		Region: v.String(section, "region_name"), EndpointType: v.String(section, "endpoint_type"),
		CAFile: v.String(section, "cafile"), Insecure: v.Bool(section, "insecure"),
		Timeout:  time.Duration(v.Int(section, "timeout")) * time.Second,
		Interval: time.Duration(v.Int("DEFAULT", "send_events_interval")) * time.Second,
		Observe:  with.figures.event,
	}, func(ctx context.Context, done map[neutrino.ID]store.Revision) error {
		return with.svc.Do(ctx, intent.Caller{Admin: true}, func(tx *intent.Tx) error {
			serverevent.Settle(tx, done)
			return nil
		})
	})
	if err != nil {
		return err
	}
	group.Go(func() error { return n.Run(ctx) })
	return nil
}
