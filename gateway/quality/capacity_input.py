"""The machines of `imgrid capacity`: one that was calibrated, or kinds with prices in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway.config import environment
from gateway.config.errors import ConfigError
from gateway.config.validation import messages
from providers.engine.machine import MachineProfile, NetworkSpeed, Preparation
from thresholds.plan.capacity import Device
from thresholds.plan.devices import (
    PhotoSource,
    devices_of,
    matching,
    network_name,
    network_of,
    preparation_of,
)
from thresholds.plan.machine_set import MachineKind


class _PriceSection(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PricedKind(_PriceSection):
    """A kind of machine: its price, how many there are, the memory of one, and its profile: the
    file of `imgrid calibrate` there, or the networks of one written out."""

    name: str = Field(min_length=1)
    usd_per_hour: float = Field(ge=0)
    count: int = Field(ge=1)
    memory_mb: float | None = Field(default=None, gt=0)
    machine: Path | None = None
    networks: tuple[NetworkSpeed, ...] = ()
    preparations: tuple[Preparation, ...] = ()

    @model_validator(mode="after")
    def _check_profile(self) -> PricedKind:
        if (self.machine is None) == (not self.networks):
            raise ValueError(
                "give machine, the path of a machine.json, or networks, its numbers written out"
            )
        return self


class NetworkWork(_PriceSection):
    """The photos that a network has to do."""

    model: str
    images: int = Field(ge=1)


class MachinePrices(_PriceSection):
    """The file of `--machines`."""

    kinds: tuple[PricedKind, ...] = Field(min_length=1)
    work: tuple[NetworkWork, ...] = ()

    @model_validator(mode="after")
    def _check_names(self) -> MachinePrices:
        for kind in self.kinds:
            if sum(other.name == kind.name for other in self.kinds) > 1:
                raise ValueError(f"two kinds are named {kind.name}")
        for each in self.work:
            if sum(other.model == each.model for other in self.work) > 1:
                raise ValueError(f"work names {each.model} twice; add the images up")
        return self


@dataclass(frozen=True, slots=True)
class CalibratedMachine:
    """What a machine measured, the memory that its sessions may take, and where that is
    written."""

    where: str
    networks: tuple[NetworkSpeed, ...]
    preparations: tuple[Preparation, ...]
    memory_mb: float | None

    def devices(
        self, name: str | None, source: PhotoSource | None, count: int | None = None
    ) -> tuple[Device, ...]:
        """Its devices that run the network of that name on photos of that source, its own or so
        many. Raises ConfigError."""
        try:
            network = network_of(self.networks, name)
            prepared = source and preparation_of(self.preparations, network, source)
            return devices_of(network, prepared, memory_mb=self.memory_mb, count=count)
        except ValueError as error:
            raise ConfigError(f"{self.where}: {error}") from None


def calibrated_machine(file: Path, memory_mb: float | None = None) -> CalibratedMachine:
    """The machine of a profile, with the memory given or else its own. Raises ConfigError."""
    try:
        profile = MachineProfile.load(file)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    memory = profile.machine.memory_mb if memory_mb is None else memory_mb
    return CalibratedMachine(str(file), profile.networks, profile.preparations, memory)


def read_prices(file: Path) -> MachinePrices:
    """The kinds of machines and the work of a file. Raises ConfigError, naming file and key."""
    try:
        content = environment.load(file.read_text())
        return MachinePrices.model_validate(content)
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} cannot be read: {environment.yaml_problem(error)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from None
    except ValidationError as error:
        raise ConfigError("\n".join(messages(error, MachinePrices, {}, file))) from None


def machines_of(prices: MachinePrices, file: Path) -> list[CalibratedMachine]:
    """The machine of each kind; paths are relative to the file. Raises ConfigError."""
    machines = []
    for index, kind in enumerate(prices.kinds):
        if kind.machine is not None:
            machines.append(calibrated_machine(file.parent / kind.machine, kind.memory_mb))
        else:
            where = f"{file}: kinds[{index}].networks"
            machines.append(
                CalibratedMachine(where, kind.networks, kind.preparations, kind.memory_mb)
            )
    return machines


def priced_kinds(
    prices: MachinePrices,
    machines: Sequence[CalibratedMachine],
    names: Sequence[str],
    source: PhotoSource | None,
) -> list[MachineKind]:
    """The kinds for the planner, each with those of the named networks that it measured. Raises
    ConfigError."""
    kinds = []
    for kind, machine in zip(prices.kinds, machines, strict=True):
        measured = [name for name in names if matching(machine.networks, name)]
        devices = {name: machine.devices(name, source) for name in measured}
        kinds.append(MachineKind(kind.name, kind.usd_per_hour, kind.count, devices))
    return kinds


def only_network(machines: Sequence[CalibratedMachine], name: str | None, file: Path) -> str:
    """The model and input size that the name means on every machine that measured it, such as
    `yolox_nano@416x416`, with the execution if the name has one. Raises ConfigError."""
    networks = [network for machine in machines for network in machine.networks]
    names = sorted({_without_execution(network, name) for network in matching(networks, name)})
    if len(names) == 1:
        return names[0]
    if names:
        raise ConfigError(f"{file}: say which network with --model: {', '.join(names)}")
    known = ", ".join(sorted({network_name(network) for network in networks}))
    raise ConfigError(f"{file}: no network {name} was measured; there are {known}")


def _without_execution(network: NetworkSpeed, name: str | None) -> str:
    full = network_name(network)
    return full if name == full else full.rpartition("@")[0]


def work_of(
    prices: MachinePrices,
    machines: Sequence[CalibratedMachine],
    file: Path,
) -> Mapping[str, int]:
    """The photos of each network of the file's work. Raises ConfigError."""
    return {only_network(machines, each.model, file): each.images for each in prices.work}
