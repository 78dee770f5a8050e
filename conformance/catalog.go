package main

import (
	"context"
	"fmt"
)

// catalog makes the users, their projects and roles, and lets the catalog name
// this run's services.
func (s *stack) catalog(ctx context.Context, network string) error {
	for _, name := range []string{"admin", "member", "reader", "service"} {
		if _, err := s.role(ctx, name); err != nil {
			return fmt.Errorf("catalog: %w", err)
		}
	}
	for _, a := range []account{
		{serviceUser, "service", []string{"admin", "service"}},
		{demoUser, demoUser, []string{"member"}},
	} {
		if err := s.account(ctx, a); err != nil {
			return fmt.Errorf("catalog: %w", err)
		}
	}
	for kind, url := range map[string]string{"identity": s.keystone.url, "network": network} {
		if err := s.endpoints(ctx, kind, url); err != nil {
			return fmt.Errorf("catalog: %w", err)
		}
	}
	return nil
}

// account is a user with roles in a project.
type account struct {
	user, project string
	roles         []string
}

func (s *stack) account(ctx context.Context, a account) error {
	k := s.keystone.admin
	project, err := k.ensure(ctx, "/projects", "?name="+a.project, object{"name": a.project, "domain_id": "default"})
	if err != nil {
		return err
	}
	user, err := k.ensure(ctx, "/users", "?name="+a.user, object{"name": a.user, "domain_id": "default", "password": password})
	if err != nil {
		return err
	}
	for _, name := range a.roles {
		role, err := s.role(ctx, name)
		if err != nil {
			return err
		}
		path := "/projects/" + project.text("id") + "/users/" + user.text("id") + "/roles/" + role
		if _, err := k.ask(ctx, "PUT "+path, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *stack) role(ctx context.Context, name string) (string, error) {
	r, err := s.keystone.admin.ensure(ctx, "/roles", "?name="+name, object{"name": name})
	return r.text("id"), err
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
