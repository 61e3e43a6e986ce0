// Package internal holds the rooms of sluice; see docs/ARCHITECTURE.md for the map.
package internal
