"""Location layouts, wrap-around, drops and antenna patterns."""

import numpy as np
import pytest

from channels.antenna import ColumnAntenna, OmniAntenna, SectorAntenna, array_factor, direction_deg
from channels.geometry import SECTOR_BORESIGHTS_DEG, SiteLayout, drop_devices, in_hexagon


@pytest.mark.parametrize("num_sites", [7, 19])
def test_every_site_sees_the_same_neighbourhood(num_sites):
    """With wrap-around the sorted distances from each site to all others are those of the centre site."""
    layout = SiteLayout(num_sites, 500.0)
    distances = np.sort(layout.distances_2d_m(layout.site_positions_m()), axis=1)
    np.testing.assert_allclose(distances, np.broadcast_to(distances[0], distances.shape), atol=1e-6)
    np.testing.assert_allclose(distances[:, 1:7], 500.0, atol=1e-6)


@pytest.mark.parametrize("num_sites", [7, 19])
def test_copies_of_the_cluster_tile_the_lattice(num_sites):
    layout = SiteLayout(num_sites, 1.0)
    copies = (layout.site_positions_m()[None] + layout.cluster_shifts_m()[:, None]).reshape(-1, 2)
    assert len(np.unique(np.round(copies, 6), axis=0)) == 7 * num_sites
    gaps = np.linalg.norm(copies[:, None] - copies[None], axis=-1)
    np.testing.assert_allclose(np.min(gaps + 9 * np.eye(len(copies)), axis=1), 1.0, atol=1e-9)


@pytest.mark.parametrize("num_sites", [1, 7, 19])
def test_wrap_around_is_a_torus(num_sites):
    """However far a device drives, the nearest site is the nearest point of the endless lattice: at most ISD / sqrt 3.

    (1500, 300) m is 110.24 m from the lattice of 200 m.
    """
    layout = SiteLayout(num_sites, 200.0, True)
    assert layout.distances_2d_m([[1500.0, 300.0]]).min() == pytest.approx(110.24, abs=0.005)
    draw = np.random.default_rng(3)
    points = np.concatenate([draw.uniform(-400, 400, (500, 2)), draw.uniform(-1e5, 1e5, (3000, 2))])
    distances = layout.distances_2d_m(points)
    assert distances.shape == (3500, num_sites)
    assert distances.min(axis=1).max() <= 200 / np.sqrt(3) + 1e-9
    # By brute force over the copies around each point: rows of the lattice are 100 sqrt 3 m apart.
    row = np.rint(points[:, 1] / (100 * np.sqrt(3)))[:, None] + np.arange(-2, 3)
    column = np.rint(points[:, :1] / 200 - row / 2)[..., None] + np.arange(-2, 3)
    x = 200 * (column + row[..., None] / 2) - points[:, 0, None, None]
    y = 100 * np.sqrt(3) * row[..., None] - points[:, 1, None, None]
    nearest = np.hypot(x, np.broadcast_to(y, x.shape)).min(axis=(1, 2))
    np.testing.assert_allclose(distances.min(axis=1), nearest, atol=1e-6)


@pytest.mark.parametrize("num_sites", [7, 19])
def test_each_site_is_at_its_nearest_copy(num_sites):
    layout = SiteLayout(num_sites, 200.0)
    basis = layout.cluster_shifts_m()[1:3]
    points = np.random.default_rng(4).uniform(-900, 900, (40, 2))
    steps = np.stack(np.meshgrid(np.arange(-6, 7), np.arange(-6, 7)), axis=-1).reshape(-1, 2)
    copies = layout.site_positions_m() + (steps @ basis)[:, None]
    gaps = np.linalg.norm(points[:, None, None] - copies, axis=-1)
    np.testing.assert_allclose(layout.distances_2d_m(points), gaps.min(axis=1), atol=1e-9)


def test_without_wrap_around_distances_are_plain():
    layout = SiteLayout(7, 500.0, wrap_around=False)
    point = np.array([[900.0, 100.0]])
    np.testing.assert_allclose(
        layout.distances_2d_m(point)[0], np.linalg.norm(point - layout.site_positions_m(), axis=1), atol=1e-9
    )
    assert np.all(SiteLayout(7, 500.0).distances_2d_m(point) <= layout.distances_2d_m(point) + 1e-9)


def test_drops_are_uniform_and_addressed():
    radius = 288.675
    few, many = (drop_devices(n, radius, seed=5) for n in (10, 3000))
    np.testing.assert_array_equal(few, many[:10])
    np.testing.assert_array_equal(drop_devices(3, radius, seed=5, first_device=7), many[7:10])
    assert np.all(in_hexagon(many, radius))
    assert np.min(np.linalg.norm(many, axis=1)) >= 10.0
    # Share of the hexagon inside its incircle of 0.866 R: pi 0.75 / 2.598 = 0.9069; 4 standard errors are 0.021.
    assert np.mean(np.linalg.norm(many, axis=1) < radius * np.sqrt(3) / 2) == pytest.approx(0.9069, abs=0.022)
    assert np.abs(many.mean(axis=0)).max() < 4 * radius * np.sqrt(5 / 24 / 3000)


@pytest.mark.parametrize("sector", [0, 1, 2])
def test_sector_drops_surround_the_boresight(sector):
    points = drop_devices(500, 200.0, seed=1, sector=sector)
    azimuth = np.rad2deg(np.arctan2(points[:, 1], points[:, 0]))
    off = (azimuth - SECTOR_BORESIGHTS_DEG[sector] + 180) % 360 - 180
    assert np.all(np.abs(off) <= 60.0 + 1e-9)
    assert np.all(in_hexagon(points, 200.0))


def test_element_pattern():
    """TR 38.901 Table 7.3-1: 8 dBi, 3 dB down at half the 65 degree beamwidth, 30 dB floor."""
    antenna = SectorAntenna(boresight_deg=30.0)
    assert antenna.gain_towards_dbi(30.0, 90.0) == 8.0
    assert antenna.gain_towards_dbi(30.0 + 32.5, 90.0) == pytest.approx(5.0)
    assert antenna.gain_towards_dbi(30.0, 90.0 + 32.5) == pytest.approx(5.0)
    assert antenna.gain_towards_dbi(210.0, 90.0) == -22.0
    assert antenna.gain_towards_dbi(-330.0, 90.0) == 8.0
    assert SectorAntenna(downtilt_deg=10).gain_towards_dbi(0.0, 100.0) == 8.0
    np.testing.assert_array_equal(OmniAntenna(3.0).gain_towards_dbi([0, 90], 90.0), [3.0, 3.0])


def test_column_pattern():
    """Ten elements half a wavelength apart, tilted to zenith 102 degrees: the gains of the calibration's antenna."""
    column = ColumnAntenna(10, 102.0)
    zenith = [102.0, 95.0, 120.0, 90.0]
    np.testing.assert_allclose(column.gain_towards_dbi(0.0, zenith), [17.591, 11.951, 2.451, -10.260], atol=5.1e-4)
    # One element is the element; a column without an azimuth cut looks alike all around.
    one, element = ColumnAntenna(1, 110.0, boresight_deg=30.0), SectorAntenna(30.0)
    azimuth = np.linspace(-180, 180, 73)
    np.testing.assert_allclose(one.gain_towards_dbi(azimuth, 99.0), element.gain_towards_dbi(azimuth, 99.0))
    context = ColumnAntenna(8, 96.0, is_omni_in_azimuth=True).gain_towards_dbi(azimuth, 96.0)
    np.testing.assert_allclose(context, context[0])
    # No null is endless, and all power that a half-wavelength column radiates is that of its elements.
    assert np.min(column.gain_towards_dbi(0.0, np.linspace(0, 180, 2001))) > -80
    cosine = np.linspace(-1, 1, 4001)
    assert np.mean(array_factor(10, 0.5 * (cosine - np.cos(np.deg2rad(102))))) == pytest.approx(1.0, abs=2e-3)
    with pytest.raises(ValueError, match="tilt_deg: got 200"):
        ColumnAntenna(10, 200.0)


def test_directions():
    azimuth, zenith = direction_deg([[10.0, 0.0], [0.0, 23.5]], 25.0, 1.5)
    np.testing.assert_allclose(azimuth, [0.0, 90.0])
    assert zenith[1] == pytest.approx(135.0)


def test_refusals():
    with pytest.raises(ValueError, match="num_sites: got 3; valid: 1, 7, 19"):
        SiteLayout(3)
    with pytest.raises(ValueError, match="min_distance_m"):
        drop_devices(1, 100.0, 0, min_distance_m=100.0)
