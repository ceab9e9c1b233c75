"""Runs a notebook in a kernel that starts although a port that was meant for it has been taken."""

import asyncio
import atexit
from typing import Any

from jupyter_client.client import KernelClient
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbclient.util import run_sync

STARTS = 3  # a kernel's ports are chosen before it has them: the next one is told others


class PatientClient(NotebookClient):
    """nbclient's client, which starts a kernel again that dies before it has answered.

    Attributes:
        manager: of the kernel that was started last; it stays when the client lets go of it.
    """

    manager: Any = None

    async def async_start_new_kernel(self, **kwargs: Any) -> None:
        """Start a kernel, and remember how."""
        self.manager = self.km
        self._how = kwargs
        await super().async_start_new_kernel(**kwargs)

    async def async_start_new_kernel_client(self) -> KernelClient:
        """Return a client of the kernel once the kernel answers.

        Raises:
            DeadKernelError: none of several kernels has answered.
        """
        for left in reversed(range(STARTS)):
            try:
                return await super().async_start_new_kernel_client()
            except RuntimeError as error:
                if self.manager.shutting_down or not left:
                    atexit.unregister(self._cleanup_kernel)  # there is none any more
                    raise DeadKernelError(str(error)) from error
                self.create_kernel_manager()
                await self.async_start_new_kernel(**self._how)
        raise AssertionError

    async def _let_go(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)

    def let_go(self) -> None:
        """End what is still under way after an Interrupt: at its end, Python would tell of it."""
        run_sync(self._let_go)()
