"""One code block through the 5G LDPC chain over AWGN: encoder, rate matching, QAM, soft demapping, belief propagation.

Encoder, code graph, mapper and demapper are Sionna's (``sionna.phy``). Belief propagation is the algorithm of Sionna's
``LDPC5GDecoder`` (flooding, exact check-node update through phi, LLRs clipped at 20) on an unpadded graph, which is
several times faster on a CPU core; a test compares the two block by block. Bits are repeated as TS 38.212 5.4.2.1 says
where the rate is below the mother code's, a case that Sionna's encoder refuses.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

__all__ = ["LdpcAwgnChain", "base_graph"]

LLR_MAX = 20.0
# Messages [edges x blocks] decoded at once: a few MB each, so that they stay near the cores.
CHUNK_ELEMENTS = 1_500_000
# Iterations after which blocks with a zero syndrome leave the batch: their decision no longer changes.
EARLY_STOPS = (6, 9, 12, 15)
# phi is its own inverse on this range; beyond it float32 returns 0 or infinity (the limits are Sionna's).
PHI_MIN, PHI_MAX = 8.5e-8, 16.635532


def base_graph(num_info_bits: int, code_rate: float) -> int:
    """LDPC base graph, 1 or 2, of a block of ``num_info_bits`` bits at ``code_rate`` (TS 38.212 7.2.2)."""
    small = num_info_bits <= 292 or (num_info_bits <= 3824 and code_rate <= 0.67) or code_rate <= 0.25
    return 2 if small else 1


class LdpcAwgnChain:
    """Block errors of one LDPC code block [num_info_bits] at a code rate over QAM and AWGN.

    The block carries ``ceil(num_info_bits / code_rate)`` coded bits; where these do not fill the last QAM symbol,
    random bits do, so that the simulated rate is the nominal one. Redundancy version 0; interleaver of 38.212 5.4.2.2.
    """

    def __init__(
        self,
        num_info_bits: int,
        code_rate: float,
        modulation_order: int,
        num_iterations: int = 20,
        device: str = "cpu",
    ) -> None:
        import torch
        from sionna.phy.fec.ldpc import LDPC5GEncoder
        from sionna.phy.mapping import Constellation, Demapper, Mapper

        self.num_info_bits = num_info_bits
        self.modulation_order = modulation_order
        self.num_coded_bits = math.ceil(num_info_bits / code_rate - 1e-9)
        self.num_iterations = num_iterations
        self.base_graph = base_graph(num_info_bits, code_rate)
        self._device = torch.device(device)
        mother_length = num_info_bits * (3 if self.base_graph == 1 else 5)
        self._repeats = self.num_coded_bits > mother_length
        self._encoder = LDPC5GEncoder(
            num_info_bits, min(self.num_coded_bits, mother_length), bg=f"bg{self.base_graph}", device=device
        )
        constellation = Constellation("qam", modulation_order, device=device)
        self._mapper = Mapper(constellation=constellation, device=device)
        self._demapper = Demapper("app", constellation=constellation, device=device)
        self._graph = _Graph(self._encoder.pcm, self._punctured_mask(), self._device)

    def _punctured_mask(self) -> npt.NDArray[np.bool_]:
        """Positions of the mother codeword [n_ldpc] that are not sent: the first 2Z and the tail of the buffer."""
        encoder = self._encoder
        punctured = np.zeros(encoder.n_ldpc, dtype=bool)
        punctured[: 2 * encoder.z] = True
        sent_end = encoder.n_ldpc - max(encoder.n_cb_comp - self.num_coded_bits, 0)
        punctured[sent_end:] = True
        return punctured

    def _coded_bits(self, bits: torch.Tensor) -> torch.Tensor:
        """Rate-matched bits [num_blocks, num_coded_bits] of ``bits`` [num_blocks, num_info_bits], not interleaved."""
        import torch

        if not self._repeats:
            return self._encoder(bits)  # type: ignore[no-any-return]
        buffer_length = self._encoder.n_cb_comp
        buffer = torch.zeros(len(bits), buffer_length, device=self._device)
        versions = self._encoder(bits, rv=[0, 1, 2, 3])
        # The redundancy versions together cover the circular buffer; overlapping positions agree.
        for start, version in zip(self._encoder.get_start_positions_comp([0, 1, 2, 3]), range(4), strict=True):
            positions = (start + torch.arange(versions.shape[-1], device=self._device)) % buffer_length
            buffer[:, positions] = versions[:, version]
        return buffer[:, torch.arange(self.num_coded_bits, device=self._device) % buffer_length]

    def _mother_llr(self, llr: torch.Tensor) -> torch.Tensor:
        """LLRs log(p0/p1) [n_ldpc, num_blocks] of the mother codeword from ``llr`` [num_blocks, num_coded_bits]."""
        import torch

        encoder, num_blocks = self._encoder, len(llr)
        buffer_length = encoder.n_cb_comp
        buffer = torch.zeros(num_blocks, buffer_length, device=self._device)
        for first in range(0, self.num_coded_bits, buffer_length):  # a repeated bit's LLRs add
            part = llr[:, first : first + buffer_length]
            buffer[:, : part.shape[1]] += part
        num_systematic = encoder.k - 2 * encoder.z
        columns = [
            torch.zeros(num_blocks, 2 * encoder.z, device=self._device),
            buffer[:, :num_systematic],
            torch.full((num_blocks, encoder.k_filler), LLR_MAX, device=self._device),
            buffer[:, num_systematic:],
        ]
        return torch.cat(columns, dim=1).clamp(-LLR_MAX, LLR_MAX).T.contiguous()

    def received(self, snr_db: float, num_blocks: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Sends random blocks at Es/N0 ``snr_db`` [dB].

        Returns (bits [num_blocks, num_info_bits], LLRs log(p1/p0) [num_blocks, num_coded_bits] before rate matching).
        """
        import torch

        order, num_coded = self.modulation_order, self.num_coded_bits
        num_symbols = math.ceil(num_coded / order)

        def random_bits(num_bits: int) -> torch.Tensor:
            drawn = rng.integers(0, 2, (num_blocks, num_bits), dtype=np.uint8)
            return torch.from_numpy(drawn.astype(np.float32)).to(self._device)

        bits = random_bits(self.num_info_bits)
        sent = torch.cat([self._coded_bits(bits), random_bits(num_symbols * order - num_coded)], dim=1)
        symbols = self._mapper(sent.reshape(num_blocks, order, num_symbols).transpose(1, 2).reshape(num_blocks, -1))
        noise_power = 10.0 ** (-snr_db / 10.0)
        noise = rng.standard_normal((num_blocks, num_symbols, 2), dtype=np.float32) * np.float32(
            math.sqrt(noise_power / 2.0)
        )
        symbols = symbols + torch.view_as_complex(torch.from_numpy(noise)).to(self._device)
        llr = self._demapper(symbols, torch.tensor(noise_power, device=self._device))
        llr = llr.reshape(num_blocks, num_symbols, order).transpose(1, 2).reshape(num_blocks, -1)
        return bits, llr[:, :num_coded]

    def decode(self, llr: torch.Tensor) -> torch.Tensor:
        """Decided bits [num_blocks, num_info_bits], float 0/1, from LLRs log(p1/p0) [num_blocks, num_coded_bits]."""
        decided = self._graph.decode(self._mother_llr(-llr), self.num_iterations)
        return decided[: self.num_info_bits].T

    def block_errors(self, snr_db: float, num_blocks: int, rng: np.random.Generator) -> int:
        """Number of wrong blocks among ``num_blocks`` sent at Es/N0 ``snr_db`` [dB]."""
        import torch

        chunk = max(1, CHUNK_ELEMENTS // self._graph.num_edges)
        if self._device.type == "cuda":
            chunk *= 100
        errors = 0
        with torch.inference_mode():
            while num_blocks > 0:
                bits, llr = self.received(snr_db, min(chunk, num_blocks), rng)
                errors += int((self.decode(llr) != bits).any(dim=1).sum())
                num_blocks -= chunk
        return errors


class _Graph:
    """Tanner graph without padding: edges sorted by check degree, messages [num_edges, num_blocks]."""

    def __init__(self, pcm: Any, punctured: npt.NDArray[np.bool_], device: torch.device) -> None:
        import torch

        matrix = pcm.tocsr()
        variable_degree = np.asarray(matrix.sum(axis=0)).ravel()
        # A check with an unsent bit that no other check sees says nothing: both leave the graph.
        silent = punctured & (variable_degree == 1)
        matrix = matrix[np.asarray(matrix @ silent.astype(float)).ravel() == 0]
        check, variable = matrix.nonzero()
        check_degree = np.bincount(check, minlength=matrix.shape[0])
        by_check = np.lexsort((check, check_degree[check]))
        check, variable = check[by_check], variable[by_check]
        degree = np.bincount(variable, minlength=matrix.shape[1])
        by_variable = np.lexsort((variable, degree[variable]))

        self.num_edges = len(check)
        self._check_groups = _groups(check_degree)
        self._variable_groups = _groups(degree)
        # Variables in the order of their degree; those of degree 0 come first.
        self._order = torch.from_numpy(np.argsort(degree, kind="stable")).to(device)
        self._num_isolated = int((degree == 0).sum())
        self._to_variable = torch.from_numpy(by_variable).to(device)
        self._to_check = torch.from_numpy(np.argsort(by_variable)).to(device)
        self._variable = torch.from_numpy(variable).to(device)

    def decode(self, llr: torch.Tensor, num_iterations: int) -> torch.Tensor:
        """Decided bits [num_variables, num_blocks] after flooding belief propagation on LLRs log(p0/p1)."""
        import torch

        decided = (llr <= 0).float()
        active = torch.arange(llr.shape[1], device=llr.device)
        to_check = llr.index_select(0, self._variable)
        for iteration in range(1, num_iterations + 1):
            to_variable = self._check_update(to_check).index_select(0, self._to_variable)
            total = self._variable_update(to_variable, llr)
            if iteration == num_iterations or iteration in EARLY_STOPS:
                decided[:, active] = (total <= 0).float()
                open_blocks = self._unsatisfied(total)
                if not bool(open_blocks.any()):
                    break
                if iteration < num_iterations and not bool(open_blocks.all()):
                    active, llr = active[open_blocks], llr[:, open_blocks].contiguous()
                    to_variable = to_variable[:, open_blocks].contiguous()
            to_check = to_variable.index_select(0, self._to_check)
        return decided

    def _check_update(self, message: torch.Tensor) -> torch.Tensor:
        """Check-node update in place: product of the other edges' signs, phi of the sum of the other edges' phi."""
        negative = message < 0
        magnitude = _phi(message.abs_())
        first = 0
        for degree, count in self._check_groups:
            last = first + degree * count
            values = magnitude[first:last].view(count, degree, -1)
            values.sub_(values.sum(dim=1, keepdim=True)).neg_()
            flips = negative[first:last].view(count, degree, -1)
            parity = flips[:, 0].clone()
            for edge in range(1, degree):
                parity ^= flips[:, edge]
            flips ^= parity[:, None]
            first = last
        output = _phi(magnitude).clamp_(max=LLR_MAX)
        return output.mul_(1.0 - 2.0 * negative)

    def _variable_update(self, message: torch.Tensor, llr: torch.Tensor) -> torch.Tensor:
        """Variable-node update in place (sum of the channel LLR and the other edges); returns the total LLRs."""
        import torch

        ordered = llr.index_select(0, self._order)
        first, node = 0, self._num_isolated
        for degree, count in self._variable_groups:
            last = first + degree * count
            values = message[first:last].view(count, degree, -1)
            totals = ordered[node : node + count]
            totals += values.sum(dim=1)
            values.sub_(totals[:, None]).neg_()
            first, node = last, node + count
        message.clamp_(-LLR_MAX, LLR_MAX)
        total = torch.empty_like(ordered)
        total[self._order] = ordered
        return total

    def _unsatisfied(self, total: torch.Tensor) -> torch.Tensor:
        """Blocks [num_blocks] whose hard decisions violate a parity check."""
        import torch

        ones = (total <= 0).index_select(0, self._variable)
        wrong = torch.zeros(total.shape[1], dtype=torch.bool, device=total.device)
        first = 0
        for degree, count in self._check_groups:
            last = first + degree * count
            flips = ones[first:last].view(count, degree, -1)
            parity = flips[:, 0].clone()
            for edge in range(1, degree):
                parity ^= flips[:, edge]
            wrong |= parity.any(dim=0)
            first = last
        return wrong


def _groups(degree: npt.NDArray[Any]) -> list[tuple[int, int]]:
    """(degree, number of nodes) in rising degree, nodes without edges left out."""
    values, counts = np.unique(degree[degree > 0], return_counts=True)
    return [(int(value), int(count)) for value, count in zip(values, counts, strict=True)]


def _phi(x: torch.Tensor) -> torch.Tensor:
    """phi(x) = -log tanh(x/2), its own inverse, in place."""
    return x.clamp_(PHI_MIN, PHI_MAX).expm1_().reciprocal_().mul_(2.0).log1p_()
