"""What a run will cost and take, before it begins."""

from __future__ import annotations

from statistics import fmean
from typing import NamedTuple

from gateway.batch.unit import PhotoAsker
from gateway.config import settings
from gateway.core.route_price import photo_price
from providers import onnx
from providers.engine.machine import MachineProfile
from thresholds.plan.throughput import CPU, StageCost, capacities_of, photos_per_s, run_cost
from thresholds.shape import ALONE
from thresholds.variants import TARGET


class RunForecast(NamedTuple):
    """The price of a number of photos: at least, at most and alone, in USD, in full canvases; and
    the seconds that they take, None where nothing was measured.

    At least is where every photo ends as early as it may, at most where every photo goes through
    all stages. `usd` is what the cascade's plan foresees, None where it says nothing."""

    photos: int
    least_usd: float
    most_usd: float
    alone_usd: float
    usd: float | None = None
    seconds: float | None = None


def forecast(asker: PhotoAsker, photos: int) -> RunForecast:
    """What so many photos will cost and take."""
    route, prices = asker.route, asker.prices
    price = photo_price(route, TARGET, lambda name: prices["" if name == route.provider else name])
    return RunForecast(
        photos,
        photos * price.least_usd,
        photos * price.most_usd,
        photos * price.alone_usd,
        None if price.usd is None else photos * price.usd,
        _seconds(asker, photos),
    )


def _seconds(asker: PhotoAsker, photos: int) -> float | None:
    """The seconds on this machine, by the machine profile that the provider names: of a route whose
    one stage is a network here."""
    route = asker.route
    (stage, *more) = route.cascade.stages
    name = stage.provider or route.provider
    file = asker.file
    options = settings.options_of(asker.parts.settings, name, file)
    if more or stage.shape != ALONE:
        return None
    if not isinstance(options, onnx.Options) or options.machine is None:
        return None
    try:
        profile = MachineProfile.load(file.resolve().parent / options.machine)
        run_s = run_cost(profile, name, options.input_size or options.canvas).seconds
    except ValueError:
        return None
    prepare_s = fmean(each.photo_s for each in profile.preparations)
    rate = photos_per_s(capacities_of(profile), [StageCost({CPU: prepare_s + run_s})])
    return photos / rate
