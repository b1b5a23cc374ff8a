// Package packs holds what Signalbox knows about the field, as data: the event
// types and the mappings from vendors' messages to them. It is embedded in the
// binary; users add their own files beside it.
package packs

import (
	"embed"
	"io/fs"
)

//go:embed types/*.json mappings/*
var files embed.FS

// Types is the folder of event types: one JSON Schema a file.
func Types() fs.FS { return sub("types") }

// Mappings is the folder of mappings; README.md in it describes their language.
func Mappings() fs.FS { return sub("mappings") }

func sub(dir string) fs.FS {
	f, err := fs.Sub(files, dir)
	if err != nil {
		panic("packs: " + err.Error()) // only for a malformed constant path
	}
	return f
}
