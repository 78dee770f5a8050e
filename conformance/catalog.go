package main

import (
	"context"
	"fmt"
)

// catalog makes the users, their projects and roles, and lets the catalog name
// this run's services.
func (s *stack) catalog(ctx context.Context, network string) error {
	k := s.keystone.admin
	roles := map[string]string{}
	for _, name := range []string{"admin", "member", "reader", "service"} {
		r, err := k.ensure(ctx, "/roles", "?name="+name, object{"name": name})
		if err != nil {
			return fmt.Errorf("catalog: %w", err)
		}
		roles[name] = r.text("id")
	}
	for _, u := range []struct {
		name, project string
		roles         []string
	}{
		{serviceUser, "service", []string{"admin", "service"}},
		{demoUser, demoUser, []string{"member"}},
	} {
		project, err := k.ensure(ctx, "/projects", "?name="+u.project, object{"name": u.project, "domain_id": "default"})
		if err != nil {
			return fmt.Errorf("catalog: %w", err)
		}
		user, err := k.ensure(ctx, "/users", "?name="+u.name, object{"name": u.name, "domain_id": "default", "password": password})
		if err != nil {
			return fmt.Errorf("catalog: %w", err)
		}
		for _, role := range u.roles {
			path := "/projects/" + project.text("id") + "/users/" + user.text("id") + "/roles/" + roles[role]
			if _, err := k.ask(ctx, "PUT "+path, nil, nil); err != nil {
				return fmt.Errorf("catalog: %w", err)
			}
		}
	}
	for kind, url := range map[string]string{"identity": s.keystone.url, "network": network} {
		if err := s.endpoints(ctx, kind, url); err != nil {
			return fmt.Errorf("catalog: %w", err)
		}
	}
	return nil
}

// endpoints lets the catalog name a service at a URL.
func (s *stack) endpoints(ctx context.Context, kind, url string) error {
	k := s.keystone.admin
	service, err := k.ensure(ctx, "/services", "?type="+kind, object{"type": kind, "name": kind})
	if err != nil {
		return err
	}
	old, err := k.list(ctx, "/endpoints", "?service_id="+service.text("id"))
	if err != nil {
		return err
	}
	for _, e := range old {
		if _, err := k.ask(ctx, "DELETE /endpoints/"+e.text("id"), nil, nil); err != nil {
			return err
		}
	}
	for _, face := range []string{"public", "internal", "admin"} {
		_, err := k.create(ctx, "/endpoints", object{
			"service_id": service.text("id"), "interface": face, "url": url, "region_id": region,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
