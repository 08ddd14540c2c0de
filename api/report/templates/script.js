document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const done = (word) => {
    button.textContent = word;
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  };
  const select = () => {
    getSelection().selectAllChildren(button.previousElementSibling);
    done("selected");
  };
  if (navigator.clipboard) navigator.clipboard.writeText(button.dataset.copy).then(() => done("copied"), select);
  else select();
});
