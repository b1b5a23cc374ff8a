package main

import (
	"context"
	"fmt"
)

func recovery(ctx context.Context, args []string) error { return fmt.Errorf("todo") }
